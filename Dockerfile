# Two images: `runtime` runs apps (drivers and tasks), `operator` is the controller. Python's start-up is overhead of
# every task, so all bytecode is compiled here, that of the standard library included.
#
#   docker build --target runtime -t apprun-runtime .
#   docker build --target operator -t apprun-operator .
#
# BASE is any Debian-like image with Python 3.11 or newer and its venv module. Of a registry it is named by digest, so that
# every build starts from the same files; `make base-digest` updates it. An index for pip, where it isn't PyPI, is
# mounted for the build as /etc/pip.conf: nothing of it stays in the image.
ARG BASE=docker.io/library/python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${BASE} AS base
# unchecked-hash: bytecode stays valid whatever a registry or a build tool does to the times of files.
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      -x '/(test|tests|idlelib|lib2to3|turtledemo|ensurepip|tkinter|site-packages|dist-packages)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# pip lives in a place of its own, so that no image carries it.
FROM base AS installer
RUN python3 -m venv /installer

FROM installer AS runtime-files
COPY requirements/runtime.txt /tmp/requirements.txt
RUN python3 -m venv --without-pip /opt/apprun \
 && /installer/bin/pip --python /opt/apprun/bin/python3 install --no-cache-dir --disable-pip-version-check \
      --no-compile --only-binary :all: --require-hashes -r /tmp/requirements.txt \
 && /opt/apprun/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/apprun/lib
# Our own code is plain files: copied, it needs no build backend, and a change of it reuses the layers above.
COPY sdk/application_sdk /tmp/application_sdk
RUN cp -r /tmp/application_sdk "$(/opt/apprun/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/" \
 && /opt/apprun/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/apprun/lib \
 && /opt/apprun/bin/python3 -m application_sdk.engines.kubernetes.write_bundle
# What is in the image, as CycloneDX: a file of it, and `docker build --target runtime-sbom --output DIR .` brings it out.
COPY hack/images/sbom.py /tmp/sbom.py
RUN /opt/apprun/bin/python3 /tmp/sbom.py apprun-runtime \
      "$(/opt/apprun/bin/python3 -c 'import application_sdk; print(application_sdk.__version__)')" > /opt/apprun/sbom.cdx.json

FROM installer AS operator-files
COPY requirements/operator.txt /tmp/requirements.txt
RUN python3 -m venv --without-pip /opt/apprun \
 && /installer/bin/pip --python /opt/apprun/bin/python3 install --no-cache-dir --disable-pip-version-check \
      --no-compile --only-binary :all: --require-hashes -r /tmp/requirements.txt \
 && /opt/apprun/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/apprun/lib
COPY sdk/application_sdk /tmp/application_sdk
COPY operator/apprun_operator /tmp/apprun_operator
RUN cp -r /tmp/application_sdk /tmp/apprun_operator \
      "$(/opt/apprun/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/" \
 && /opt/apprun/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/apprun/lib
COPY hack/images/sbom.py /tmp/sbom.py
RUN /opt/apprun/bin/python3 /tmp/sbom.py apprun-operator \
      "$(/opt/apprun/bin/python3 -c 'import application_sdk; print(application_sdk.__version__)')" > /opt/apprun/sbom.cdx.json

FROM scratch AS runtime-sbom
COPY --from=runtime-files /opt/apprun/sbom.cdx.json /

FROM scratch AS operator-sbom
COPY --from=operator-files /opt/apprun/sbom.cdx.json /

# What both have in common. The root file system may be read-only; /tmp is all that a pod gets to write to. The user has
# no entry in /etc/passwd, so what asks for its name (kopf does, at its start) finds it in LOGNAME.
FROM base AS image
ENV PATH=/opt/apprun/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    LOGNAME=apprun \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1
WORKDIR /apprun
USER 65532:65532

FROM image AS operator
COPY --from=operator-files /opt/apprun /opt/apprun
ENTRYPOINT ["python3", "-m", "apprun_operator"]

# Last, so that it is what `docker build` makes when no target is named. Apps with packages of their own start from it.
FROM image AS runtime
COPY --from=runtime-files /opt/apprun /opt/apprun
CMD ["python3", "-m", "application_sdk.pod"]
