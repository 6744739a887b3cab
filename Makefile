# make demo: a file is enhanced.  make demo-train: a small model is trained.
# make test: the tests.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
RECIPE := recipes/VoicebankDEMAND/galdse
NOISY := demo/corpus/noisy_testset_wav/p232_001.wav

.PHONY: demo demo-train test

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict .
	$(BIN)/python -m pytest -n 2 --dist loadfile

demo: $(INSTALLED) demo/corpus
	$(BIN)/galdse enhance --overwrite --plot $(NOISY) -o demo/enhanced.wav
	@echo "noisy:    $(NOISY)"
	@echo "enhanced: demo/enhanced.wav"
	@echo "picture:  demo/enhanced.wav.png"

demo-train: $(INSTALLED) demo/corpus
	$(BIN)/python $(RECIPE)/train.py $(RECIPE)/hparams/galdse_mini.yaml \
		--data_folder demo/corpus --output_folder demo/run \
		--number_of_steps 400
	@echo "enhanced: demo/run/enhanced"
	@echo "pictures: demo/run/pictures"
	@echo "model:    demo/run/exported"
	@echo "scores:   above, and to read, see and hear in demo/run/report.html"

demo/corpus: | $(INSTALLED)
	$(BIN)/python tools/make_demo_corpus.py $@

$(INSTALLED): setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -e ".[train,plot,dnsmos,onnx,ray,demo,dev]"
	touch $@
