# syntax=docker/dockerfile:1
# vmferry in Airflow's official image: its user (50000, group 0), its entry point and its Python; the packages, Airflow's
# own among them, are the pinned ones of requirements/image.txt, in a venv of their own. docs/install.md says how to use it.
FROM apache/airflow:slim-3.3.2-python3.11 AS base

FROM base AS build
USER root
WORKDIR /src
COPY scripts/apt.sh scripts/install_packages.sh scripts/packages.apt scripts/packages-build.apt scripts/
RUN scripts/install_packages.sh scripts/packages.apt scripts/packages-build.apt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY requirements/uv.txt requirements/image.txt requirements/
COPY provider provider
COPY dags dags
COPY dag_templates dag_templates
COPY deploy/image deploy/image
COPY scripts/install_image.sh scripts/
RUN scripts/install_image.sh /opt/vmferry

FROM base
USER root
COPY scripts/apt.sh scripts/install_packages.sh scripts/packages.apt /opt/vmferry/setup/
RUN /opt/vmferry/setup/install_packages.sh /opt/vmferry/setup/packages.apt && rm -rf /var/lib/apt/lists/*
# Root's, so that nothing that runs can change it.
COPY --from=build /opt/vmferry /opt/vmferry
# Volumes begin as a copy of these: writable for whatever user the containers run as, by the group.
RUN install -d -o 50000 -g 0 -m 2775 /opt/airflow/backups /opt/airflow/certs /opt/airflow/logs /opt/airflow/rendered
ENV VIRTUAL_ENV=/opt/vmferry/venv PATH=/opt/vmferry/venv/bin:/opt/vmferry/bin:$PATH
WORKDIR /opt/airflow
USER 50000:0
