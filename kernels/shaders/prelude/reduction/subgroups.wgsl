// By way of subgroups: two barriers, however many invocations there are. The order is the adapter's own, and the same
// every time. Nothing is taken for granted about subgroups, neither how large they are nor which invocations they
// hold.

fn group_sum2(lane: u32, value: vec2<f32>) -> vec2<f32> {
    let rank = subgroupExclusiveAdd(1u);
    let size = subgroupAdd(1u);
    let sum = subgroupAdd(value);
    // One invocation of each subgroup has its sum, so that adding up everything counts it once.
    partial[lane] = select(vec2<f32>(), sum, rank == 0u);
    workgroupBarrier();
    var rest = vec2<f32>();
    for (var i = rank; i < WG; i += size) { rest += partial[i]; }
    workgroupBarrier();
    return subgroupAdd(rest);
}

fn group_max(lane: u32, value: f32) -> f32 {
    let rank = subgroupExclusiveAdd(1u);
    let size = subgroupAdd(1u);
    partial[lane] = vec2<f32>(subgroupMax(value), 0.0);
    workgroupBarrier();
    var maximum = value;
    for (var i = rank; i < WG; i += size) { maximum = max(maximum, partial[i].x); }
    workgroupBarrier();
    return subgroupMax(maximum);
}
