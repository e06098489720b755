"""Pods whose code comes from elsewhere, or whose output goes there, as values."""

from __future__ import annotations

from ebbtide.infra.platforms.kubernetes.inside.told import code_settings, program_settings
from ebbtide.infra.platforms.kubernetes.naming import OUTPUTS
from tests.unit.platforms.test_kubernetes_manifests import (
    JOB,
    driver_of,
    made,
    main_of,
    pods,
    spec_with,
    value_of,
)


def test_every_member_fetches_an_archive_of_code_before_it_starts() -> None:
    url, keys = "s3://bucket/code.zip", {"KEY": "word"}
    things = made(spec_with(), code_url=url, secret_values=keys)
    driver = driver_of(spec_with(job=JOB), code_url=url, secret_values=keys)["spec"]
    assert program_settings(main_of(driver)["args"][4]).code.url == url
    for pod in pods(things):
        assert code_settings(main_of(pod)["args"][4]).url == url
        assert value_of(main_of(pod), "KEY")


def test_output_of_the_program_lies_in_its_runs_folder_of_a_volume() -> None:
    pod = driver_of(spec_with(job=JOB), outputs="volume://claim/out/copper-heron")
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    assert volumes["output"]["persistentVolumeClaim"] == {"claimName": "claim"}
    for container in pod["spec"]["containers"]:
        mounts = {each["name"]: each for each in container["volumeMounts"]}
        assert mounts["output"]["subPath"] == "out/copper-heron"
    assert program_settings(main_of(pod["spec"])["args"][4]).outputs == ""


def test_wrapper_is_told_the_url_for_the_output() -> None:
    pod = driver_of(spec_with(job=JOB), outputs="s3://bucket/copper-heron")
    told = program_settings(main_of(pod["spec"])["args"][4])
    assert (told.outputs, told.output) == ("s3://bucket/copper-heron", "/run/ebb/output")
    assert pod["metadata"]["annotations"][OUTPUTS] == "s3://bucket/copper-heron"
    grace_s = pod["spec"]["terminationGracePeriodSeconds"]
    assert told.grace_s + told.store_within_s <= grace_s
