"""Projects, for those who have a token."""

from typing import Annotated

from backend.auth import verify_jwt_token
from fastapi import APIRouter, Depends

PROJECTS = APIRouter(prefix="/projects")


@PROJECTS.get("")
def projects(user: Annotated[str, Depends(verify_jwt_token)]):
    return [user]
