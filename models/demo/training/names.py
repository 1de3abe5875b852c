"""What llama.cpp calls the parts of a block, and what they are called here."""

TEXT_NAMES = {
    "attn_norm": "attn_norm",
    "ffn_norm": "ffn_norm",
    "attn_kv_a_norm": "kv_norm",
    "attn_q": "q",
    "attn_kv_a_mqa": "kv_down",
    "attn_output": "out",
    "ffn_gate": "gate",
    "ffn_up": "up",
    "ffn_down": "down",
}
VISION_NAMES = {"attn_out": "out", "ln1": "ln1", "ln2": "ln2", "ffn_up": "up", "ffn_down": "down"}
