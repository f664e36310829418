"""The files of one model or adapter: opening, describing and writing them.

checkpoint.py     a model that the engine can run: spec, tensors by canonical name, tokenizer
model_files.py    the files of a model in one of the two formats, GGUF or a Hugging Face folder
reranker_files.py  which folders are rerankers, and their specs
description.py    facts about a model, also of one that the engine can't run
text_warnings.py   remarks about a tokenizer and a chat template
metadata.py       all metadata of a model, by GGUF's keys
ignored_keys.py   keys of a model's configuration that its owner wants to have ignored
recommended.py    the sampling parameters that a model's authors recommend
adapters.py       LoRA adapters
model_writer.py   writes a model that was made from another one
"""
