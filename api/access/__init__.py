"""Who asks, and what they may do: keys and signatures, roles, limits, browser sessions."""

from typing import Annotated

from fastapi import Depends, Request

from api.access.guard import Access, Caller


async def access_of(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


async def caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


TheAccess = Annotated[Access, Depends(access_of)]
TheCaller = Annotated[Caller, Depends(caller_of)]
