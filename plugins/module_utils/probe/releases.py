# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep source ``releases``: which other releases of a service are on its machine, so that one could go back to one of them."""

from __future__ import annotations

from typing import Any

from .context import Context, SourceError
from .times import epoch, iso

MOST_RELEASES = 10
VERSION_LABEL = "org.opencontainers.image.version"


def collect(ctx: Context) -> dict[str, Any]:
    """``{repository current {id names version created_at} others [the same, newest first] count kept}``; ``current`` is null without a container.

    Images of one repository are releases of one service. An image that lost its tag to a newer one still tells its repository by its digest.
    """
    try:
        container = ctx.container
    except SourceError as error:
        if error.kind != "absent":
            raise
        # That the container is missing is the answer of another source; of a service that is not there no image is a release.
        return {"repository": None, "current": None, "others": [], "count": 0, "kept": False}
    images = ctx.machine.once("image list", lambda: ctx.docker.get_json("/images/json"))
    reference = str((container.inspect.get("Config") or {}).get("Image") or "")
    own_id = str(container.inspect.get("Image") or "")
    own: dict[str, Any] = next((image for image in images if image.get("Id") == own_id), {})
    repositories = repositories_of(own) | ({repository_of(reference)} if reference and not reference.startswith("sha256:") else set())
    others = [image for image in images if image.get("Id") != own_id and repositories & repositories_of(image)]
    others.sort(key=lambda image: -int(image.get("Created") or 0))
    return {
        "repository": min(repositories, default=None),
        "current": described(own) if own else {"id": own_id, "names": [reference], "version": container.labels.get(VERSION_LABEL), "created_at": None},
        "others": [described(image) for image in others[:MOST_RELEASES]],
        "count": len(others),
        "kept": bool(own),
    }


def described(image: dict[str, Any]) -> dict[str, Any]:
    """One image as the document has it."""
    created = image.get("Created")
    return {
        "id": image.get("Id"),
        "names": names_of(image),
        "version": (image.get("Labels") or {}).get(VERSION_LABEL),
        "created_at": iso(float(created) if isinstance(created, (int, float)) else epoch(created)),
    }


def names_of(image: dict[str, Any]) -> list[str]:
    """Tags, or for an image without one its digests."""
    tags = [str(name) for name in image.get("RepoTags") or [] if not str(name).startswith("<none>")]
    return tags or [str(name) for name in image.get("RepoDigests") or [] if not str(name).startswith("<none>")]


def repositories_of(image: dict[str, Any]) -> set[str]:
    """Names of an image without tag and digest."""
    names = [*(image.get("RepoTags") or []), *(image.get("RepoDigests") or [])]
    return {repository_of(str(name)) for name in names if not str(name).startswith("<none>")}


def repository_of(name: str) -> str:
    """``registry:5000/shop/app`` of ``registry:5000/shop/app:v1@sha256:...``: a colon before the last slash is a port."""
    path = name.partition("@")[0]
    folder, slash, last = path.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"
