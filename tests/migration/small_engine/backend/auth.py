"""Who may ask."""

from typing import Annotated

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

bearer = HTTPBearer(auto_error=False)


async def verify_jwt_token(
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
):
    if given is None or given.credentials != "a-token":
        raise HTTPException(401, "no token")
    return "somebody"
