# gptmoe for GPUs:
#   docker build -f docker/cuda.Dockerfile -t gptmoe-cuda .
#   docker run --rm --user "$(id -u):$(id -g)" --gpus all --ipc host -v "$PWD:/work" gptmoe-cuda train config.json
ARG CUDA=12.6.3
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS build
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends \
      g++ cmake ninja-build git dpkg-dev file nlohmann-json3-dev libcli11-dev \
      zlib1g-dev libzstd-dev libsimdjson-dev libopenmpi-dev openmpi-bin \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
# CMake options. -DCMAKE_CUDA_ARCHITECTURES=90a-real, for example, builds faster, but for one kind of GPU only.
ARG CMAKE_OPTIONS=
RUN git config --global --add safe.directory /source \
    && cd /source && cmake --preset package -DGPTMOE_CUDA=ON -DGPTMOE_NCCL=ON $CMAKE_OPTIONS \
    && cmake --build --preset package \
    && cd build-package && cpack -G DEB && mv gptmoe_*.deb /gptmoe.deb

FROM nvidia/cuda:${CUDA}-runtime-ubuntu24.04
ARG DEBIAN_FRONTEND=noninteractive
COPY --from=build /gptmoe.deb /tmp/
# The base image has cuBLAS and NCCL; gptmoe loads them when it needs them.
RUN apt-get update && apt-get install -y --no-install-recommends /tmp/gptmoe.deb openmpi-bin bible-kjv \
    && rm -rf /var/lib/apt/lists/* /tmp/gptmoe.deb
WORKDIR /work
ENTRYPOINT ["gptmoe"]
CMD ["--help"]
