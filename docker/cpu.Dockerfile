# gptmoe for CPUs:
#   docker build -f docker/cpu.Dockerfile -t gptmoe .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" gptmoe train config.json
FROM debian:12 AS build
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends \
      g++ cmake ninja-build git dpkg-dev file nlohmann-json3-dev libcli11-dev \
      zlib1g-dev libzstd-dev libsimdjson-dev libopenmpi-dev openmpi-bin \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
# CMake options. CPUs without AVX2 need -DCMAKE_CXX_FLAGS=-march=x86-64; that build is slower.
ARG CMAKE_OPTIONS=
RUN git config --global --add safe.directory /source \
    && cd /source && cmake --preset package $CMAKE_OPTIONS && cmake --build --preset package \
    && cd build-package && cpack -G DEB && mv gptmoe_*.deb /gptmoe.deb

FROM debian:12-slim
ARG DEBIAN_FRONTEND=noninteractive
COPY --from=build /gptmoe.deb /tmp/
RUN apt-get update && apt-get install -y --no-install-recommends /tmp/gptmoe.deb openmpi-bin bible-kjv \
    && rm -rf /var/lib/apt/lists/* /tmp/gptmoe.deb
WORKDIR /work
ENTRYPOINT ["gptmoe"]
CMD ["--help"]
