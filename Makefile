# make repro · make test · make lint · make bench · make demo: each sets up what it needs in .venv
PYTHON ?= python3
BIN := .venv/bin
DEMO := .venv-demo
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test lint bench plots demo

repro: $(BIN)/installed
	dvc repro
	dvc metrics show

test: $(BIN)/installed-dev
	OMP_NUM_THREADS=1 python -m pytest --numprocesses 2 --dist loadfile  # most of it is starting programs

lint: $(BIN)/installed-dev
	ruff check .
	ruff format --check .

bench: $(BIN)/installed
	for name in feature_store memory slstm head_epoch predict teacher; do python -m benchmarks.$$name || exit; done

plots: $(BIN)/installed
	dvc plots show

demo: $(DEMO)/installed
	$(DEMO)/bin/python -m m3agiqa demo

$(BIN)/installed: requirements.txt constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	python -m pip install --quiet --requirement requirements.txt --constraint constraints.txt
	touch $@

$(BIN)/installed-dev: requirements-dev.txt requirements-genai.txt $(BIN)/installed
	python -m pip install --quiet --requirement requirements-dev.txt --constraint constraints.txt
	touch $@

# A layer over .venv: it sees all of it, but for the packages that gradio holds back.
SITE := import sysconfig; print(sysconfig.get_path("purelib"))
$(DEMO)/installed: requirements-demo.txt $(BIN)/installed
	python -m venv $(DEMO)
	echo "import site; site.addsitedir('$$(python -c '$(SITE)')')" > "$$($(DEMO)/bin/python -c '$(SITE)')/layer.pth"
	$(DEMO)/bin/python -m pip install --quiet --requirement requirements-demo.txt
	touch $@
