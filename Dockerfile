# The whole pipeline on PyTorch's own CUDA image. README.md gives the build and run lines.
ARG BASE_IMAGE=pytorch/pytorch:2.11.0-cuda12.8-cudnn9-runtime
FROM ${BASE_IMAGE}

SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# Proxies (http_proxy, https_proxy, no_proxy) are predefined build arguments. They are not declared here: a declared one,
# with any password in it, would be readable in the image's history.

ARG TZ=UTC
ENV TZ=${TZ} \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1
# The compiler and Python's headers: for --compile.
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends g++ python3-dev tzdata && \
    rm -rf /var/lib/apt/lists/* && \
    ln -snf "/usr/share/zoneinfo/${TZ}" /etc/localtime && \
    echo "${TZ}" >/etc/timezone

# Files written into mounted folders belong to this user: build with your own `id -u` and `id -g`. (Not named UID:
# bash keeps that name for itself.) Where the base image has a user of that number, it makes way; root stays root.
ARG USER_ID=1000
ARG GROUP_ID=1000
RUN if [[ "${USER_ID}" != 0 ]]; then \
        if old=$(getent passwd "${USER_ID}" | cut -d: -f1); then userdel --remove "${old}"; fi && \
        (getent group "${GROUP_ID}" >/dev/null || groupadd --gid "${GROUP_ID}" deepfake) && \
        useradd --uid "${USER_ID}" --gid "${GROUP_ID}" --create-home --shell /bin/bash deepfake; \
    fi && \
    install -d -o "${USER_ID}" -g "${GROUP_ID}" /app /data

WORKDIR /app

# Requirements before the code: these layers are made again only when the requirements change. The image's own PyTorch
# is the one that fits its CUDA, so it is pinned, and constraints.txt, which is for another one, is not used. An image needs
# no virtual environment: hence --break-system-packages.
COPY requirements.txt ./
RUN python -c "from importlib.metadata import version as v; print('torch==' + v('torch'), 'torchvision==' + v('torchvision'), sep='\n')" \
    >/tmp/own-torch.txt && \
    python -m pip install --no-cache-dir --break-system-packages --constraint /tmp/own-torch.txt \
        --requirement requirements.txt

COPY --chown=${USER_ID}:${GROUP_ID} . .
RUN python -m pip install --no-cache-dir --break-system-packages --no-deps --editable . && \
    chmod +x ./*.sh

USER ${USER_ID}:${GROUP_ID}
VOLUME /data
CMD ["bash"]
