# The repository with its models, on the CPU or (with `--gpus all`) a GPU:
#     docker build -t lamp .
#     docker run --rm -v "$PWD/generation:/lamp/generation" lamp generate --text_prompt "a person waves" --ext first
FROM python:3.11-slim
WORKDIR /lamp
COPY . .
RUN pip install --no-cache-dir -e ".[captions]"
ENTRYPOINT ["lamp"]
CMD ["--help"]
