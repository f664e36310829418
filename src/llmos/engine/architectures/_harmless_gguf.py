"""Keys `{architecture}.*` of GGUF files that change nothing about the answers of any family."""

from llmos.engine.architectures._read_keys import ANY, Harmless

HARMLESS: Harmless = {
    # The tensors' shapes say the same.
    "vocab_size": ANY,
    "tensor_data_layout": ANY,
    "rope.dimension_count": ANY,
    "rope.dimension_count_swa": ANY,
    # Positions of images and videos. Those of text are the same in all sections.
    "rope.dimension_sections": ANY,
    "rope.mrope_section": ANY,
    # The scaling of rotary positions: what its kind uses is read; of the rest, what belongs to no kind.
    "rope.scaling.finetuned": ANY,
    "rope.scaling.original_context_length": ANY,
    "rope.scaling.factor": (0, 1),
    "rope.scaling.attn_factor": (1,),
    "rope.scaling.yarn_attn_factor": (1,),
    "rope.scaling.yarn_ext_factor": (1, -1),
    "rope.scaling.yarn_beta_fast": (32,),
    "rope.scaling.yarn_beta_slow": (1,),
    "rope.scaling.yarn_log_multiplier": (0,),
    "rope.scale_linear": (1,),
    # A family has one kind of norm, whose epsilon is read.
    "attention.layer_norm_epsilon": ANY,
    "attention.layer_norm_rms_epsilon": ANY,
    "attention.key_length_swa": ANY,
    "attention.value_length_swa": ANY,
    # Features that these values turn off.
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "attention.scale": (0,),
    "attn_logit_softcapping": (0,),
    "final_logit_softcapping": (0,),
    "logit_scale": (1,),
    "embedding_scale": (1,),
    "residual_scale": (1,),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "expert_shared_count": (0,),
    "expert_weights_norm": (True,),
    "expert_weights_scale": (0, 1),
    "pooling_type": (0,),
    "use_parallel_residual": (False,),
    "attention.causal": (True,),
}
