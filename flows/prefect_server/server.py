"""stub"""


def running(home):
    return None


def touch(home):
    pass


def client_environment(info):
    return {}


def ephemeral_environment(home):
    return {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "DO_NOT_TRACK": "1",
    }
