# Every target makes .venv from the hash-locked requirements first, when it is missing or older than the lock.
PY := .venv/bin/python
export PYTHONUNBUFFERED = 1
# Empty, so that compiled modules are kept: without them every kernel and every test process compiles for seconds.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help book test lint format acceptance bench products study canary mutants offline serve lab lock clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z.]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv: .venv/.installed ## Make the environment and nothing else
.venv/.installed: requirements-lock.txt requirements-dev-lock.txt pyproject.toml
	@sh tools/make_venv.sh

book: .venv/.installed ## Run every chapter and build the pages; STRICT=1 fails where data cannot be had
	@OMP_NUM_THREADS=1 $(PY) tools/build_book.py --jobs 2 $(if $(filter 1,$(STRICT)),--strict)

test: .venv/.installed ## Run the tests (under 3 minutes on 2 cores)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -m "not acceptance" --numprocesses 2 --dist loadfile

acceptance: .venv/.installed ## Run the slow scientific checks and the checks of the built pages; CASE= as for bench
	@OMP_NUM_THREADS=1 $(if $(CASE),TRITOMO_BENCH_CASE="$(CASE)") \
		$(PY) -m pytest -m acceptance --numprocesses 2 --dist loadgroup --no-loadscope-reorder

lint: .venv/.installed ## Check style, types, import layers and that notebooks are stripped
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-cache --no-logo
	@$(PY) -m nbstripout --keep-id --verify book/*.ipynb examples/*.ipynb && echo "Notebooks: stripped."

format: .venv/.installed ## Bring code and notebooks into shape
	@$(PY) -m ruff check --fix . ; $(PY) -m ruff format . ; $(PY) -m nbstripout --keep-id book/*.ipynb examples/*.ipynb

bench: .venv/.installed ## Compare with other packages on this machine; CASE=file.npz for a case of your own
	@CASE="$(CASE)" $(PY) -m benchmarks

products: .venv/.installed ## Compute the results that chapters hand to each other, once
	@$(PY) -m tritomo_helpers.products

study: .venv/.installed ## Compute the tables of the study: twelve particles, both methods, nulls (an hour; goes on)
	@OMP_NUM_THREADS=1 $(PY) -m tritomo_helpers.products --commit --jobs 2 "study/*"

canary: .venv/.installed ## Try the newest dependencies on two Pythons, and the pages without Jupyter Book (by hand)
	@$(PY) tools/canary.py

mutants: .venv/.installed ## Change lines of the package and see that tests fail (by hand); ONLY="eds 12" picks lines
	@OMP_NUM_THREADS=1 $(PY) tools/mutants.py $(ONLY)

offline: .venv/.installed ## Zip an edition of the book that needs no network
	@$(PY) tools/build_book.py --offline

serve: .venv/.installed ## Show the built book on http://127.0.0.1:8000
	@test -f _build/html/index.html || $(MAKE) --no-print-directory book
	@echo "The book is on http://127.0.0.1:8000 (Ctrl-C ends)."
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html 8000

lab: .venv/.installed ## Open the notebooks in JupyterLab
	@$(PY) -m jupyterlab --notebook-dir=book

lock: ## Renew both locks from requirements.in and requirements-dev.in
	@sh tools/make_lock.sh

clean: ## Remove what the targets made (downloaded data stay)
	rm -rf .venv _build book/_generated .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
