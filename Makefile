# What a person types. `make` alone lists it. Needs Python 3.11+, git and make.

PYTHON    ?= python3
FRAMEWORK ?= dask
ARGS      ?=

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.set-up
OURS  := src/ebbtide

.DEFAULT_GOAL := help
.PHONY: help setup hello up down java chromium test test-quick test-all test-pythons mutants lint docs dist lock resolve bench bench-prefect bench-kubernetes lab lab-down lab-status clean

help: ## List what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Everything installed in .venv, as the lock says
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -q $(OURS) $(OURS)/*/ # it follows no links

hello: setup ## Run the built-in job: a cluster that grows, shrinks and goes (FRAMEWORK=dask)
	@$(BIN)/ebb run hello --framework $(FRAMEWORK)

up: setup ## Prefect's server, worker, deployments and UI on this machine
	@$(BIN)/ebb up

down: setup ## End what `make up` started
	@$(BIN)/ebb down

java: ## The Java that Spark needs, where it is missing and may be installed
	@command -v java >/dev/null || [ -n "$$JAVA_HOME" ] || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && { apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless \
	  || apt-get install -y -qq --no-install-recommends openjdk-21-jre-headless; }; } \
	  || echo "Spark needs Java 17 or newer: sudo apt install openjdk-17-jre-headless" >&2

chromium: ## The browser that the tests of Prefect's UI drive, where it is missing and may be installed
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	  || echo "The tests of Prefect's UI need Chromium: sudo apt install chromium" >&2

# The whole suite in two lanes side by side; what somebody picks in one process.
RUNNER = $(if $(strip $(ARGS)),pytest,tests.lanes)

test: setup java chromium lint ## Lint and all tests but the long ones (ARGS="-k name")
	$(BIN)/python -m $(RUNNER) -m "not long" $(ARGS)

test-quick: setup ## While coding: lint, unit tests, and the contract on one framework (FRAMEWORK=ray)
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest tests/architecture tests/unit
	$(BIN)/python -m pytest tests/contract -k "$(FRAMEWORK) or not (dask or ray or spark)"

test-all: setup java chromium lint ## The long tests too
	$(BIN)/python -m $(RUNNER) $(ARGS)

mutants: setup ## Faults in the pure rooms that their unit tests let live (long; ARGS="'*policy.lease*'")
	@python=$$(pwd)/$(BIN)/python && scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	cp -rL src tests benchmarks infra pyproject.toml requirements.lock "$$scratch" && cd "$$scratch" && \
	"$$python" -m mutmut run $(ARGS) && { "$$python" -m mutmut results | grep -v "not checked" || true; } && \
	"$$python" -m mutmut export-cicd-stats >/dev/null && cat mutants/mutmut-cicd-stats.json

lint: setup ## ruff, mypy, the import contracts and the links of the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(SITE) --quiet

docs: setup ## The documentation's site, in build/site
	$(SITE)

# Its reference is made from the code; every link is checked.
SITE = NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# In a venv that is thrown away, by the lock's versions, outside of the checkout: what a user of the wheel has.
dist: setup ## A release in dist/: sdist and wheel, checked, tried in a fresh venv; the list of what they bring (SBOM)
	rm -rf dist
	$(BIN)/python -m benchmarks --compare
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist .
	$(BIN)/twine check --strict dist/*
	@unset $$(env | sed -n 's/^\(\(EBB\|PREFECT\)_[A-Z0-9_]*\)=.*/\1/p') EBB_HOME; \
	scratch=$$(mktemp -d) && export EBB_HOME="$$scratch/home" && ebb="$$scratch/venv/bin/ebb" && \
	trap '[ ! -d "$$EBB_HOME" ] || "$$ebb" down; rm -rf "$$scratch"' EXIT && \
	wheel=$$(ls $$(pwd)/dist/*.whl) && $(BIN)/uv venv --quiet --python $(BIN)/python "$$scratch/venv" && \
	{ $(INDEX) $(BIN)/uv pip install --quiet --python "$$scratch/venv/bin/python" --constraint requirements.lock "$$wheel[dask]"; } && \
	(cd "$$scratch" && set -x && "$$ebb" --version && "$$ebb" run hello && "$$ebb" up && "$$ebb" status && "$$ebb" down) && \
	$(BIN)/cyclonedx-py environment --output-reproducible --of JSON --pyproject pyproject.toml \
	  -o "$${wheel%-py3-none-any.whl}.cdx.json" "$$scratch/venv/bin/python"
	@ls -l dist

PYTHONS ?= 3.11 3.12 3.13

test-pythons: setup ## The house rules and unit tests under each Python that is here (PYTHONS="3.12 3.13")
	@tried=; for each in $(PYTHONS); do \
	  python=$$(PYENV_VERSION=$$each $(BIN)/uv python find --no-python-downloads --system $$each 2>/dev/null) || { echo "Python $$each: not on this machine" >&2; continue; }; \
	  echo "Python $$each: $$python" && venv=build/pythons/$$each && \
	  { $(BIN)/uv venv --quiet --allow-existing --seed --python "$$python" $$venv && \
	    { $(INDEX) $(BIN)/uv pip install --quiet --python $$venv/bin/python --require-hashes -r requirements.lock; } && \
	    $$venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . && \
	    $$venv/bin/python -m pytest -q tests/architecture tests/unit $(ARGS); } || exit 1; \
	  tried="$$tried $$each"; \
	done; [ -n "$$tried" ] || { echo "none of $(PYTHONS) is on this machine" >&2; exit 1; }

lab: setup ## A real Kubernetes for the tests (root, Go; ARGS="--name other")
	@$(BIN)/python -m tests.kubernetes.lab up $(ARGS)

lab-down: setup ## Take it down and say what is left: nothing
	@$(BIN)/python -m tests.kubernetes.lab down $(ARGS)

lab-status: setup ## What runs of it, and where
	@$(BIN)/python -m tests.kubernetes.lab status $(ARGS)

bench: setup ## What README and docs claim, measured again into benchmarks/results (ARGS="--only start_up --rounds 3"; --tables)
	$(BIN)/python -m benchmarks $(ARGS)

bench-prefect: setup ## What Prefect costs a run (ARGS="--rounds 3 --paths")
	$(BIN)/python -m benchmarks.prefect_overhead $(ARGS)

bench-kubernetes: setup ## The start and the release of a run on the Kubernetes in use (after make lab)
	$(BIN)/python -m benchmarks.kubernetes_start_up $(ARGS)

# uv does not read pip's settings: where packages are is handed on.
INDEX = index=$$($(BIN)/python -m pip config get global.index-url 2>/dev/null); \
	links=$${PIP_FIND_LINKS-$$($(BIN)/python -m pip config get global.find-links 2>/dev/null)}; \
	$${PIP_INDEX_URL:+env UV_DEFAULT_INDEX="$$PIP_INDEX_URL"} $${index:+env UV_DEFAULT_INDEX="$$index"} $${links:+env UV_FIND_LINKS="$$links"}

# uv itself comes from the lock, by pip.
QUICKLY = awk '/^uv==/ {ours = 1} ours && /^[^ ]/ && !/^uv==/ {exit} ours' requirements.lock > $(VENV)/uv.lock \
	&& $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.lock \
	&& { $(INDEX) \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock; }

# A stamp, so that this happens again only when the dependencies change.
$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Ebb needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing)." >&2; \
	  echo "Name another one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments." >&2; \
	  echo "On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV): a few minutes the first time"
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || $(PYTHON) -m venv --clear $(VENV)
	@$(QUICKLY) || $(BIN)/python -m pip install --quiet --disable-pip-version-check --compile \
	  --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m ebbtide.flows.prefect_server.prepare
	@touch $@

lock: ## Resolve pyproject.toml again: requirements.lock, and from it those of the images
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(PYTHON) -m venv "$$scratch/venv" && "$$scratch/venv/bin/pip" install --quiet uv && \
	resolve() { "$$scratch/venv/bin/uv" --cache-dir "$$scratch/cache" pip compile "$$@" \
	  --python-version 3.11 --universal --generate-hashes --no-strip-extras --no-emit-index-url --no-header --quiet; } && \
	resolve pyproject.toml --extra all --extra dev -o requirements.lock && \
	echo pip | resolve - --no-annotate -o infra/images/pip.lock && \
	for each in dask ray spark; do \
	  $(PYTHON) -c 'import sys, tomllib; \
	  project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  more = {"ray": ["fsspec", "numpy", "pandas", "pyarrow"], "spark": ["numpy"]}; name = sys.argv[1]; \
	  print(*project["optional-dependencies"][name], *more.get(name, []), sep="\n")' $$each \
	  | resolve - -c requirements.lock --no-annotate -o infra/images/$$each.lock || exit 1; \
	done && \
	echo fsspec | resolve - -c requirements.lock --no-annotate -o infra/images/none.lock && \
	flow="cryptography dask-kubernetes kubernetes pathspec psutil pydantic pyyaml" && \
	printf '%s\n' $$flow | resolve - -c requirements.lock --no-annotate -o infra/images/flow.lock && \
	printf '%s\n' $$flow fastapi 'httpx[socks]' prefect 'sqlalchemy[asyncio]' \
	  | resolve - -c requirements.lock --no-annotate -o infra/images/prefect.lock && \
	$(PYTHON) -c "$$BOTH" requirements.lock infra/images/dask.lock infra/images/prefect.lock infra/images/ray.lock

# pip's hash mode takes NAME and NAME[extra] for two packages, and the newest for the one that is not pinned.
define BOTH
import re, sys
for path in sys.argv[1:]:
    text = open(path).read()
    pin = r"(?m)^([\w.-]+)\[[^]]*\](==.*(?:\n    --hash=.*)+\n)"
    open(path, "w").write(re.sub(pin, lambda found: found[1] + found[2] + found[0], text))
endef
export BOTH

resolve: ## Does a clean install without the lock still work? (in a venv that is thrown away)
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	mkdir "$$scratch/source" && cp -r pyproject.toml README.md LICENSE $(OURS) "$$scratch/source" && \
	$(PYTHON) -m venv "$$scratch/venv" && \
	"$$scratch/venv/bin/pip" install --quiet "$$scratch/source[all]" && \
	"$$scratch/venv/bin/pip" check && cd "$$scratch" && \
	venv/bin/python -c 'import prefect.server, prefect.server.api.server' && \
	venv/bin/ebb --version

clean: ## Remove caches and build products; .venv stays
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f $(STAMP)
