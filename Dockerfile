# JupyterLab with Skillfleet NB, its sidebar and its server: `docker build -t skillfleet-nb .`, docs/deployment.md.
# The root file system may be read-only: what is written goes to /work, a volume, and /tmp.
FROM python:3.12-slim-trixie AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
# A layer of its own, for it is the largest and changes least; from this index it comes without CUDA.
RUN python -m venv /opt/skillfleet \
    && /opt/skillfleet/bin/pip install --no-compile --index-url https://download.pytorch.org/whl/cpu torch==2.13.0
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY data data
COPY skillfleet_nb skillfleet_nb
# Without what nobody runs here: other people's tests, headers and sources, the page of litellm's proxy, Arrow's flight, a
# faster download from the hub, languages that JupyterLab has no words for; and symbols for debuggers, a tenth of all.
RUN /opt/skillfleet/bin/pip install --no-compile --constraint constraints.txt '.[dashboard,offline,server]' 'jupyterlab>=4.4' \
    && find /opt/skillfleet/lib -type d \( -name tests -o -path '*/torch/test' -o -path '*/torch/include' -o -path '*/torch/bin' \
    -o -path '*/pyarrow/include' -o -path '*/jedi/third_party/django-stubs' -o -path '*/litellm/proxy/_experimental/out' \) -prune -exec rm -r {} + \
    && find /opt/skillfleet -type f \( -name '*.map' -o -name '*.c' -o -name '*.cpp' -o -name '*.pyx' -o -path '*/pyarrow/*flight*.so*' \
    -o -path '*/babel/locale-data/*' ! -name 'en*' ! -name root.dat \
    -o -path '*/pyphen/dictionaries/*' ! -name 'hyph_en*' \) -delete \
    && /opt/skillfleet/bin/pip uninstall --yes hf-xet \
    && find /opt/skillfleet/lib -type f -name '*.so*' ! -path '*.libs/*' -exec strip --strip-unneeded {} +

FROM python:3.12-slim-trixie

RUN useradd --uid 1000 --user-group --home-dir /work --shell /usr/sbin/nologin skillfleet \
    && install --directory --owner skillfleet --group skillfleet /work
COPY --from=build /opt/skillfleet /opt/skillfleet
ENV PATH=/opt/skillfleet/bin:$PATH \
    HOME=/work \
    SKILLFLEET_HOME=/work/.skillfleet \
    DSPY_CACHEDIR=/work/.dspy_cache \
    XDG_CACHE_HOME=/tmp/cache \
    IPYTHONDIR=/tmp/ipython \
    JUPYTER_RUNTIME_DIR=/tmp/jupyter \
    HF_HUB_OFFLINE=1 \
    LITELLM_LOCAL_MODEL_COST_MAP=True \
    PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /work
VOLUME /work
EXPOSE 8888
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8888/skillfleet/api/v1/health', timeout=4)"]
# The token is $JUPYTER_TOKEN; who comes with $SKILLFLEET_VIEWER_TOKEN may look and not spend.
CMD ["jupyter", "lab", "--no-browser", "--ServerApp.ip=0.0.0.0", "--ServerApp.port=8888", "--ServerApp.root_dir=/work", \
     "--ServerApp.identity_provider_class=skillfleet_nb.server.roles.Tokens", \
     "--ServerApp.authorizer_class=skillfleet_nb.server.roles.RoleAuthorizer"]
