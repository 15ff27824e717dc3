# `sam build` calls one target for each function. The first call builds all functions, with one Cargo invocation. The later
# calls only copy a program. For arm64: ARCHITECTURE=arm64 sam build --parameter-overrides Architecture=arm64
ARCHITECTURE ?= x86_64

build-%:
	folder=$$(deploy/build.sh $(ARCHITECTURE) functions) && \
	name=$$(echo $* | sed 's/\([A-Z]\)/-\1/g; s/^-//' | tr '[:upper:]' '[:lower:]') && \
	cp "$$folder/$$name/bootstrap" "$(ARTIFACTS_DIR)/"
