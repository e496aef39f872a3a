"""Projects, for those who have a token."""

from fastapi import APIRouter, Depends

from backend.auth import verify_jwt_token

PROJECTS = APIRouter(prefix="/projects")


@PROJECTS.get("")
def projects(user: str = Depends(verify_jwt_token)):
    return [user]
