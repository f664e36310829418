"""Keys of config.json that change nothing about the answers of any family. A null value is harmless with every key."""

from llmos.engine.architectures._read_keys import ANY, Harmless

_OF_ALL_MODELS: Harmless = dict.fromkeys(
    (
        # The program that wrote the file, and the origin of the weights.
        "_commit_hash", "_name_or_path", "architectures", "auto_map", "custom_pipelines", "model_name", "model_type",
        "name_or_path", "transformers_version", "transformers.js_config", "unsloth_fixed", "unsloth_version",
        "is_llama_config", "export_model_type", "mlx_version", "model_max_length", "tokenizer_class",
        "tokenizer_model_max_length", "tokenizer_padding_side", "tokenizer_truncation_side", "max_seq_length",
        "max_sequence_length", "seq_length", "dataset_name",
        # The storage of the weights, and settings of programs that compute with them.
        "dtype", "torch_dtype", "use_bfloat16", "torchscript", "tie_encoder_decoder", "_attn_implementation",
        "_attn_implementation_autoset", "attn_implementation", "use_flash_attn", "use_flash_attention",
        "_flash_attn_2_enabled", "use_cache", "cache_implementation", "max_cache_len", "return_dict",
        "return_dict_in_generate", "output_attentions", "output_hidden_states", "output_scores", "output_past",
        "output_router_logits", "low_cpu_mem_usage", "fused_mlp", "fused_norm", "fused_qkv", "bf16", "fp16", "fp32",
        "pretraining_tp", "tp_plan", "base_model_tp_plan", "chunk_size_feed_forward", "gradient_checkpointing",
        "use_reentrant", "use_fused_rms_norm", "use_fused_rope", "use_liger_kernel",
        # Special tokens: text/tokenizer reads what it needs.
        "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "unk_token_id",
        "mask_token_id", "decoder_start_token_id", "eos_token", "bos_token", "pad_token", "image_token_id",
        "video_token_id", "vision_start_token_id", "vision_end_token_id", "vision_token_id",
        # Training.
        "attention_dropout", "attn_pdrop", "embd_pdrop", "embedding_dropout", "hidden_dropout", "resid_pdrop",
        "residual_dropout",
        "dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout",
        "classifier_dropout_prob",
        "seq_classif_dropout", "summary_first_dropout", "qa_dropout", "attn_dropout", "resid_dropout",
        "feedforward_dropout", "initializer_range", "initializer_factor", "init_std", "init_method",
        "router_aux_loss_coef", "router_jitter_noise", "aux_loss_alpha", "seq_aux", "z_loss", "label_smoothing",
        "sinusoidal_pos_embds", "gradient_accumulation_fusion", "reset_attention_mask", "reset_position_ids",
        # Heads of classes, which are refused by the name of the class.
        "id2label", "label2id", "num_labels", "problem_type", "finetuning_task", "summary_activation",
        "summary_proj_to_labels", "summary_type", "summary_use_proj",
        # Sampling that old files recommend here; generation_config.json has it now.
        "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size", "bad_words_ids", "num_beams", "num_beam_groups", "num_return_sequences",
        "diversity_penalty", "do_sample", "early_stopping", "exponential_decay_length_penalty", "forced_bos_token_id",
        "forced_eos_token_id", "max_length", "min_length", "max_new_tokens", "remove_invalid_values",
        "begin_suppress_tokens", "suppress_tokens", "prefix", "task_specific_params", "generation_config",
        # Encoders have no head, and decoders read it.
        "tie_word_embeddings",
        # Pruned heads are absent from the weights, whose shapes are checked.
        "pruned_heads", "tf_legacy_loss",
        # The devices of layers, and an earlier quantization.
        "device_map", "xla_device", "_pre_quantization_dtype",
    ),
    ANY,
)  # fmt: skip

_NEUTRAL: Harmless = {
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "is_decoder": (True, False),
    "attention_bias": (False,),
    "qkv_bias": (False,),
    "mlp_bias": (False,),
    "use_bias": (False,),
    "bias": (False,),
    "partial_rotary_factor": (1,),
    "rope_ratio": (1,),
    "logit_scale": (1,),
    "logits_scaling": (1,),
    "embedding_multiplier": (1,),
    "residual_multiplier": (1,),
    "use_qk_norm": (False,),
    "qk_layernorm": (False,),
    "use_mrope": (False,),
    "use_sliding_window": (False,),
    "use_bidirectional_attention": (False,),
    "activation": ("swiglu", "silu"),
    "attention_type": ("default",),
    "clip_qkv": (0,),
    "interpolate_factor": (1,),
    "lm_head_bias": (False,),
    "rotary_scaling_factor": (1,),
    "norm_type": ("rms_norm", "rmsnorm"),
    "position_embedding_type": ("absolute", "rope", "rotary"),
    "rope_interleaved": (False,),
}
"""Features that these values turn off."""

_OF_ROPE_SECTION: Harmless = {
    # Positions of images and videos. Those of text are the same in all sections.
    "mrope_section": ANY,
    "mrope_interleaved": ANY,
    "type": ANY,
    "finetuned": ANY,
    "original_max_position_embeddings": ANY,
    "factor": (1,),
    "attention_factor": (1,),
    "attn_factor": (1,),
    "extrapolation_factor": (1,),
    "partial_rotary_factor": (1,),
}
_OF_ROPE: Harmless = {
    f"{section}.{key}": values
    for section in (
        "rope_parameters", "rope_scaling", "rope_parameters.full_attention", "rope_parameters.sliding_attention",
    )
    for key, values in _OF_ROPE_SECTION.items()
}  # fmt: skip
"""Values of rotary positions beside those that their kind of scaling uses."""

HARMLESS: Harmless = {**_OF_ALL_MODELS, **_NEUTRAL, **_OF_ROPE}
