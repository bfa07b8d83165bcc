"""Models as workers: an enterprise's own models label its tasks beside people, with their own measured quality."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, status

from api.auth import Allow
from api.session import Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.quality.annotators import service, views
from marketplace.quality.annotators.schemas import AnnotatorView, ConnectAnnotator

router = APIRouter(prefix="/v1/requests/{request_id}/models", tags=["Quality"])
