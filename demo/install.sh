# Installs pylitefs under the name litefs, with Python and libfuse, in an image made from Debian; as root:
#
#   RUN --mount=from=pylitefs,target=/mnt sh /mnt/install.sh
#
# where the image pylitefs is the target of that name in demo/Dockerfile: this file, and what pip installs.
# An image of real LiteFS has no such file, and its program is copied.
set -eu
from=$(cd "$(dirname "$0")" && pwd)
apt-get update
apt-get install -y --no-install-recommends ca-certificates fuse3 python3 python3-venv sqlite3
# libfuse 2 is called libfuse2t64 since the 64-bit time of Debian 13.
apt-get install -y --no-install-recommends libfuse2t64 || apt-get install -y --no-install-recommends libfuse2
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/pylitefs
/opt/pylitefs/bin/pip install --no-cache-dir --disable-pip-version-check \
    --no-index --find-links "$from/wheels" pylitefs
ln -s /opt/pylitefs/bin/pylitefs /usr/local/bin/litefs
