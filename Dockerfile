# docker build -t videdit .
# docker run --rm -v "$PWD:/work" -v videdit-cache:/cache videdit run input.mp4 --attr Smiling -o out.mp4
# docs/docker.md tells the rest: CUDA, weights, read-only, compose, Kubernetes, when to try again.

# One base for both stages, so that the virtual environment finds the Python that it was made with.
FROM python:3.11-slim-bookworm AS base


FROM base AS build

# Constraints are named on every line below; a cache would only make the layers large.
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    VIDEDIT_WEIGHTS=/opt/videdit/weights \
    PATH=/opt/venv/bin:$PATH
# The package index, where it isn't PyPI.
ARG PIP_INDEX_URL

# OpenCV's wheel needs libGL, and never calls it. Debian's package brings Mesa and LLVM, 200 MB of
# drivers; the two libraries of it that are loaded are enough.
# The suite is fixed by the base. Versions are not: Debian's mirrors keep no superseded ones.
# hadolint ignore=DL3008
RUN mkdir -p /opt/gl /tmp/gl
WORKDIR /tmp/gl
RUN apt-get update \
    && apt-get download libgl1 libglx0 \
    && for package in *.deb; do dpkg-deb -x "$package" .; done \
    && cp -P usr/lib/*/libGL.so.* usr/lib/*/libGLX.so.* /opt/gl/

WORKDIR /usr/src/videdit
RUN python -m venv /opt/venv
COPY constraints.txt ./

# Which build of PyTorch: cpu, or CUDA as PyTorch's installation page names it (cu128). TORCH_INDEX
# is the whole address, for a mirror; empty takes torch from the package index.
ARG TORCH=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/${TORCH}
# Without its dependencies: that index has few versions of them. The next step brings them.
RUN pip install --no-deps -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch

# The dependencies alone, so that a change of the sources does not install them again.
COPY setup.cfg ./
RUN python -c "import configparser as c; f = c.ConfigParser(interpolation=None); \
f.read('setup.cfg'); print(f['options']['install_requires'])" > requirements.txt \
    && pip install -c constraints.txt -r requirements.txt setuptools

COPY setup.py pyproject.toml README.md LICENSE NOTICE ./
COPY weights weights
COPY videdit videdit
RUN pip install --no-deps --no-build-isolation -c constraints.txt . \
    && pip check

# Anything but `fetch` leaves the weights out; the folder is then mounted, see docs/docker.md.
ARG WEIGHTS=fetch
# Whoever `--user` names may fetch into a volume that is mounted there.
RUN install -d -m 1777 "$VIDEDIT_WEIGHTS" \
    && if [ "$WEIGHTS" = fetch ]; then videdit weights fetch && videdit weights verify; fi


FROM base

LABEL org.opencontainers.image.title="videdit" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /opt/gl /usr/local/lib
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libglib2.0-0 libglvnd0 libx11-6 \
    && rm -rf /var/lib/apt/lists/* \
    && ldconfig \
    && groupadd --gid 1000 videdit \
    && useradd --uid 1000 --gid 1000 --create-home videdit \
    # Whoever `--user` names writes there as well; a new volume takes over the rights.
    && install -d -m 1777 /cache /work

COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/videdit /opt/videdit

# Besides /tmp only the cache must be writable: what libraries keep goes there, too.
ENV PATH=/opt/venv/bin:$PATH \
    VIDEDIT_WEIGHTS=/opt/videdit/weights \
    VIDEDIT_CACHE=/cache \
    XDG_CACHE_HOME=/cache/.libraries \
    HOME=/home/videdit \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
# A library that is missing shows itself now, not in the first run.
RUN python -c "import cv2"

# Numbers: Kubernetes must see that this is not root.
USER 1000:1000
VOLUME /cache
WORKDIR /work
# Exec form: the tool is process 1 and gets the signals.
STOPSIGNAL SIGTERM
ENTRYPOINT ["videdit"]
CMD ["--help"]
