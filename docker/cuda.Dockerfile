# gptmoe for GPUs:
#   docker build -f docker/cuda.Dockerfile -t gptmoe-cuda .
#   docker run --rm --user "$(id -u):$(id -g)" --gpus all --ipc host -v "$PWD:/work" gptmoe-cuda train config.json
ARG CUDA=12.6.3
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS build
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends \
      g++ cmake ninja-build git nlohmann-json3-dev libcli11-dev \
      zlib1g-dev libzstd-dev libsimdjson-dev libopenmpi-dev openmpi-bin \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
# Options of CMake, such as -DCMAKE_CUDA_ARCHITECTURES=90a-real for one kind of GPU, which builds faster.
ARG CMAKE_OPTIONS=
RUN git config --global --add safe.directory /source \
    && cd /source && cmake --preset package -DGPTMOE_CUDA=ON -DGPTMOE_NCCL=ON $CMAKE_OPTIONS \
    && cmake --build --preset package && cmake --install build-package --prefix /gptmoe --strip

FROM nvidia/cuda:${CUDA}-runtime-ubuntu24.04
ARG DEBIAN_FRONTEND=noninteractive
# The base has cuBLAS and NCCL.
RUN apt-get update && apt-get install -y --no-install-recommends \
      libgomp1 zlib1g libzstd1 libsimdjson19 libopenmpi3t64 openmpi-bin bible-kjv \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /gptmoe /usr/local
WORKDIR /work
ENTRYPOINT ["gptmoe"]
CMD ["--help"]
