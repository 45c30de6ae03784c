# docker build -t videdit .
# docker run --rm -v "$PWD:/work" -v videdit-cache:/cache videdit run input.mp4 --attr Smiling -o out.mp4
# As another user than the image's: add --user "$(id -u):$(id -g)". With a GPU: add --gpus all.
# docker stop -t 60 NAME lets the chunk in flight finish; without it the next run makes that again.
FROM python:3.11-slim

# OpenCV's wheel needs libGL and GLib of the system.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 videdit \
    && mkdir -p /cache /work \
    && chown videdit: /cache /work \
    # Whoever `--user` names writes there as well; a new volume takes over the rights.
    && chmod 1777 /cache /work /home/videdit

# The address of a PyTorch wheel index, where the default torch isn't wanted: the CPU build makes
# a far smaller image.
ARG TORCH_INDEX=""
WORKDIR /usr/src/videdit
COPY constraints.txt .
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir -c constraints.txt --index-url "$TORCH_INDEX" torch; \
    fi
COPY . .
RUN pip install --no-cache-dir -c constraints.txt .

ENV VIDEDIT_WEIGHTS=/opt/videdit/weights \
    VIDEDIT_CACHE=/cache \
    HOME=/home/videdit
RUN videdit weights fetch

USER videdit
VOLUME /cache
WORKDIR /work
ENTRYPOINT ["videdit"]
CMD ["--help"]
