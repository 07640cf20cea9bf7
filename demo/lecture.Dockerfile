# The lecture in a container: for macOS and Windows (Docker Desktop), or a Linux that is to stay as it is.
#
#   docker build -f demo/lecture.Dockerfile -t pylitefs-lecture .
#   docker run --rm -it --init --name lecture --device /dev/fuse --cap-add SYS_ADMIN \
#     -p 127.0.0.1:8000:8000 pylitefs-lecture ltx-file
#
# and open the URL that it prints. What comes after the image's name are options of `pylitefs lecture`.
# A shell beside it, for the lines that the page's `copy path` copies: docker exec -it lecture bash
# Where the host has AppArmor (Ubuntu, Debian), mounting needs --security-opt apparmor=unconfined as well.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# libfuse 2 is called libfuse2t64 since the 64-bit time of Debian 13.
RUN apt-get update \
    && apt-get install -y --no-install-recommends fuse3 python3 python3-venv sqlite3 \
    && (apt-get install -y --no-install-recommends libfuse2t64 || apt-get install -y --no-install-recommends libfuse2) \
    && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml README.md LICENSE /pylitefs/
COPY pylitefs /pylitefs/pylitefs
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check /pylitefs
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYLITEFS_CONTAINER=1

EXPOSE 8000
# A published port leads to the container's own interface; -p above publishes it on loopback only.
ENTRYPOINT ["pylitefs", "lecture", "--host", "0.0.0.0", "--port", "8000", "--no-browser"]
