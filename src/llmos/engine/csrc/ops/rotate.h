// Rotary positions of one head.
#pragma once

namespace {

void rotate(const float* head, const float* cosine, const float* sine, int half_dim, int head_dim, float scale,
            float* out) {
    const Floats factor = splat(scale);
    int i = 0;
    for (; i + 16 <= half_dim; i += 16) {
        const Floats a = load(head + i), b = load(head + half_dim + i), c = load(cosine + i), s = load(sine + i);
        store(out + i, (a * c - b * s) * factor);
        store(out + half_dim + i, (b * c + a * s) * factor);
    }
    for (; i < half_dim; ++i) {
        const float a = head[i], b = head[half_dim + i];
        out[i] = (a * cosine[i] - b * sine[i]) * scale;
        out[half_dim + i] = (b * cosine[i] + a * sine[i]) * scale;
    }
    for (i = 2 * half_dim; i < head_dim; ++i) out[i] = head[i] * scale;
}

}  // namespace
