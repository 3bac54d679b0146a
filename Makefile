# `make` lists what can be made. Each target sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin
# Programs are named by path: make itself looks a simple command up before any PATH that is set here.
# PATH is for what they start: `dvc repro` starts `python -m stages.…`.
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
VERSION := import sys; print("%d.%d" % sys.version_info[:2])
NEW_ENOUGH := 3.1[1-9] | 3.[2-9][0-9]
READ_LOCK := from dvc.dvcfile import Lockfile; from dvc.utils import strictyaml; strictyaml.load("dvc.lock", Lockfile.SCHEMA)

.PHONY: help repro judge test lint bench plots demo serve git author FORCE

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What `make judge` trains. Quality, which params.yaml names in git, is last: params.yaml, dvc.lock and results/ end with it,
# whatever was cut before. For a data set that has not all: make judge ASPECTS=quality
ASPECTS := correspondence authenticity quality
BUNDLE := bundle
DATASET = $$(sed -n "s/^dataset: *\([^ \#]*\).*/\1/p" params.yaml)

repro: git $(BIN)/installed  ## run every stage whose inputs changed, and sum up what came out
	@$(mend_locks)
	$(IN_VENV) $(BIN)/dvc repro
	$(BIN)/python -m report.summary

judge: git author $(BIN)/installed  ## train every aspect in turn, params.yaml as it is, and pack them into bundle/
	for aspect in $(ASPECTS); do \
	  { $(mend_locks); }; \
	  $(IN_VENV) $(BIN)/dvc exp run -S aspect=$$aspect \
	  && $(BIN)/python -m m3agiqa bundle --dataset $(DATASET) --out $(BUNDLE) || exit; \
	done
	@echo "make: score with python -m m3agiqa predict --bundle $(BUNDLE) IMAGE --prompt TEXT" >&2

# Most of it is starting programs; tests/conftest.py has the order of the files.
test: git $(BIN)/installed-dev  ## run the tests
	OMP_NUM_THREADS=1 $(IN_VENV) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(BIN)/installed-dev  ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(BIN)/installed  ## print how fast it is, against floors
	for name in feature_store memory slstm mlstm head_epoch predict rank_and_reward teacher; do \
	  $(IN_VENV) $(BIN)/python -m benchmarks.$$name || exit; \
	done

plots: git $(BIN)/installed  ## draw the plots of the last run: dvc_plots/index.html
	$(IN_VENV) $(BIN)/dvc plots show

demo: $(BIN)/installed-demo  ## score images of your own on a page, at 127.0.0.1
	$(BIN)/python -m m3agiqa demo

serve: $(BIN)/installed-serve  ## score images that come over HTTP, at 127.0.0.1
	$(BIN)/python -m m3agiqa serve

# A kill while DVC writes a lock leaves it empty or cut short, and DVC refuses that. Looked at twice: another run may be
# writing it just now. dvc.lock is git's again, and what has run since comes from DVC's run cache.
define mend_locks
mend() { \
  lock=$$1; cure=$$2; shift 2; \
  test ! -e $$lock || "$$@" || { sleep 1; "$$@" || $$cure $$lock || true; }; \
} 2> /dev/null; \
for lock in .dvc/tmp/rwlock .dvc/tmp/exps/rwlock; do mend $$lock "rm -f" $(BIN)/python -m json.tool $$lock /dev/null; done; \
mend dvc.lock "git checkout --quiet --" $(BIN)/python -c '$(READ_LOCK)'
endef

git:
	@git --version > /dev/null 2>&1 || { echo "make: git is missing, and DVC works with it: install git" >&2; exit 1; }
	@git rev-parse --git-dir > /dev/null 2>&1 \
	  || { echo "make: no git repository here, and DVC wants one: git init, or work in a clone" >&2; exit 1; }

# DVC sets what an experiment has changed aside as a commit when the next one begins: after hours, perhaps.
author:
	@for who in AUTHOR COMMITTER; do git -c user.useConfigOnly=true var GIT_$${who}_IDENT > /dev/null 2>&1 \
	  || { echo "make: git knows no name for DVC's commits: git config --global user.name and user.email" >&2; exit 1; }; done

$(BIN)/installed: requirements.txt constraints.txt $(BIN)/made
	@$(call install,requirements.txt)

$(BIN)/installed-dev: requirements-dev.txt requirements-demo.txt requirements-serve.txt requirements-ray.txt requirements-genai.txt requirements-openai.txt $(BIN)/installed
	@$(call install,requirements-dev.txt)

$(BIN)/installed-demo: requirements-demo.txt $(BIN)/installed
	@$(call install,requirements-demo.txt)

$(BIN)/installed-serve: requirements-serve.txt $(BIN)/installed
	@$(call install,requirements-serve.txt)

# Where pip was cut off, a package may be there in part and count as installed: the mark, with the number of the process
# that set it, stays, and .venv is made anew. A pip that ends with an error has left what was there as it was.
define install
echo "make: installing $(1)"; \
echo $$$$ > .venv/half-made; \
$(BIN)/python -m pip install --quiet --requirement $(1) --constraint constraints.txt; code=$$?; \
rm .venv/half-made; \
test $$code = 0 && touch $@
endef

# Looked at each time: .venv may be half-made, too old, of a Python that is gone, of another than `make PYTHON=…` asks
# for, or come from another folder, where its programs would look for theirs.
$(BIN)/made: FORCE
	@if kill -0 "$$(cat .venv/half-made 2> /dev/null)" 2> /dev/null; then \
	  echo "make: process $$(cat .venv/half-made) is installing into .venv: wait for it, or, if it is no make, rm -r .venv" >&2; \
	  exit 1; \
	fi; \
	asked=$$($(PYTHON) -c '$(VERSION)' 2> /dev/null); \
	found=$$($(BIN)/python -c 'import pip; $(VERSION)' 2> /dev/null); \
	if test -e .venv/half-made; then found=; fi; \
	if test "$(origin PYTHON)" = "command line" && test "$$asked" != "$$found"; then found=; fi; \
	if test -e $@ && test "$$(cat $@)" != "$(CURDIR)"; then found=; fi; \
	case "$$found" in $(NEW_ENOUGH)) test -e $@ || echo "$(CURDIR)" > $@; exit;; esac; \
	case "$$asked" in $(NEW_ENOUGH)) ;; *) \
	  echo "make: needs Python 3.11 or newer, $(PYTHON) is $${asked:-not there}: choose one, make PYTHON=python3.12" >&2; \
	  exit 1;; \
	esac; \
	echo "make: .venv with Python $$asked"; \
	rm -rf .venv && mkdir .venv && echo $$$$ > .venv/half-made && $(PYTHON) -m venv .venv && echo "$(CURDIR)" > $@ \
	  && rm .venv/half-made
