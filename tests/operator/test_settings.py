"""Settings come from the environment, and a bad one is named with its value."""

from pathlib import Path

import pytest

from trimtab_operator.settings import SettingsError, read_settings

IMAGE = {"TRIMTAB_OPERATOR_TRAINER_IMAGE": "trainer:1"}


def test_defaults_need_only_the_image() -> None:
    settings = read_settings(IMAGE)
    assert settings.trainer_image == "trainer:1"
    assert settings.storage_uri is None
    assert settings.health_port == 8080
    assert settings.status_seconds == 15.0
    assert settings.metrics_port == 0


def test_one_factor_shrinks_all_times_but_that_of_a_request() -> None:
    settings = read_settings({**IMAGE, "TRIMTAB_OPERATOR_TIME_FACTOR": "0.05"})
    assert settings.status_seconds == pytest.approx(0.75)
    assert settings.event_seconds == pytest.approx(15.0)
    assert settings.request_seconds == 30.0


def test_namespaces_are_a_list_with_commas_and_none_means_all() -> None:
    assert read_settings(IMAGE).watch_namespaces == ()
    given = {**IMAGE, "TRIMTAB_OPERATOR_WATCH_NAMESPACES": "vision, speech,vision"}
    assert read_settings(given).watch_namespaces == ("vision", "speech")


@pytest.mark.parametrize("value", ["2.53.0", "2.100.1", "3.0.0"])
def test_a_version_of_ray_is_taken_where_its_pods_tell_that_they_are_ready(value: str) -> None:
    assert read_settings({**IMAGE, "TRIMTAB_OPERATOR_RAY_VERSION": value}).ray_version == value
    assert read_settings({**IMAGE, "TRIMTAB_OPERATOR_RAY_VERSION": ""}).ray_version is None


def test_an_empty_port_of_the_metrics_turns_them_off() -> None:
    assert read_settings({**IMAGE, "TRIMTAB_OPERATOR_METRICS_PORT": ""}).metrics_port == 0
    assert read_settings({**IMAGE, "TRIMTAB_OPERATOR_METRICS_PORT": "8081"}).metrics_port == 8081


def test_files_of_the_metrics_go_together() -> None:
    prefix = "TRIMTAB_OPERATOR_METRICS_"
    files = {f"{prefix}CERTIFICATE": "tls.crt", f"{prefix}KEY": "tls.key"}
    ca = {f"{prefix}CLIENT_CA": "ca.crt"}
    settings = read_settings({**IMAGE, **files, **ca})
    assert settings.metrics_certificate == Path("tls.crt")
    assert settings.metrics_key == Path("tls.key")
    assert settings.metrics_client_ca == Path("ca.crt")
    for name in files:
        with pytest.raises(SettingsError, match="must be set together"):
            read_settings({**IMAGE, name: "tls"})
    with pytest.raises(SettingsError, match=r"CLIENT_CA, but got None, None and ca\.crt"):
        read_settings({**IMAGE, **ca})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRAINER_IMAGE", " ", "TRIMTAB_OPERATOR_TRAINER_IMAGE is not set"),
        ("LOG_LEVEL", "loud", "must be one of DEBUG, INFO, WARNING, ERROR but got LOUD"),
        ("WATCH_NAMESPACES", "vision,", "names of namespaces with commas between them but got"),
        ("WATCH_NAMESPACES", "team-*", "but got team-"),
        ("RAY_VERSION", "2.52.9", "RAY_VERSION must be at least 2.53.0, .* but got 2.52.9"),
        ("RAY_VERSION", "latest", "but got latest"),
        ("HEALTH_PORT", "70000", "must be from 1 to 65535 but got 70000"),
        ("METRICS_PORT", "-1", "must be from 0 to 65535 but got -1"),
        ("TIME_FACTOR", "fast", "TRIMTAB_OPERATOR_TIME_FACTOR must be from 0.001 to 10.0 but got"),
        ("TIME_FACTOR", "nan", "but got nan"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings({**IMAGE, f"TRIMTAB_OPERATOR_{name}": value})
