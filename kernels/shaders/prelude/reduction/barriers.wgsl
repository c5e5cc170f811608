// A tree in workgroup memory, in a fixed order.

fn group_sum2(lane: u32, value: vec2<f32>) -> vec2<f32> {
    partial[lane] = value;
    workgroupBarrier();
    for (var stride = WG / 2u; stride > 0u; stride /= 2u) {
        if (lane < stride) { partial[lane] += partial[lane + stride]; }
        workgroupBarrier();
    }
    let sum = partial[0];
    workgroupBarrier();
    return sum;
}

fn group_max(lane: u32, value: f32) -> f32 {
    partial[lane] = vec2<f32>(value, 0.0);
    workgroupBarrier();
    for (var stride = WG / 2u; stride > 0u; stride /= 2u) {
        if (lane < stride) { partial[lane] = max(partial[lane], partial[lane + stride]); }
        workgroupBarrier();
    }
    let maximum = partial[0].x;
    workgroupBarrier();
    return maximum;
}
