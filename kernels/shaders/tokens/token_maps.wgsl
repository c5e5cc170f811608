// Index maps between a stack's input sequence and what it is assembled from. Per sample and token:
// its source (row of the given tokens, CLS_TOKEN or MASK_TOKEN), its row in the position table,
// and, in a decoder, the patch it must predict. The inverses let every gradient be gathered.

struct Params {
    count: u32,       // B · max(tokens, sources, rows)
    extent: u32,      // max(tokens, sources, rows)
    tokens: u32,      // T, sequence length
    sources: u32,     // S, rows of the given tokens
    rows: u32,        // R, rows of the position table
    patches: u32,     // L
    cls: u32,         // leading cls tokens, 0 or 1
    len_keep: u32,
    first_visible: u32, // rank of the first visible patch in ids_shuffle
    row_offset: u32,    // position row of patch 0
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids_shuffle: array<u32>; // [B, L]
@group(0) @binding(2) var<storage, read> ids_restore: array<u32>; // [B, L]
@group(0) @binding(3) var<storage, read_write> token_source: array<u32>; // [B, T]
@group(0) @binding(4) var<storage, read_write> token_row: array<u32>; // [B, T]
@group(0) @binding(5) var<storage, read_write> source_token: array<u32>; // [B, S]
@group(0) @binding(6) var<storage, read_write> row_token: array<u32>; // [B, R]
@group(0) @binding(7) var<storage, read_write> token_target: array<u32>; // [B, T]

// How the sequence is laid out; numbered like `ops::tokens::Layout`.
const SHUFFLED: u32 = 0u;     // cls, visible patches in shuffled order
const PATCH_ORDER: u32 = 1u;  // cls, all patches in order, mask tokens where hidden
const ALL_TOKENS: u32 = 2u;   // the given tokens as they are, one per patch after the cls
const CONCATENATED: u32 = 3u; // mask tokens, then the given visible tokens without position
override LAYOUT: u32 = SHUFFLED;
// Whether the cls token is the given tokens' first row (decoder), not a parameter (encoder).
override CLS_GIVEN: bool = false;

fn is_visible(rank: u32) -> bool {
    return rank >= params.first_visible && rank - params.first_visible < params.len_keep;
}

// Rows of the given tokens that precede the patches.
fn leading() -> u32 {
    return select(0u, params.cls, CLS_GIVEN);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let b = index / params.extent;
    let k = index % params.extent;
    let base = b * params.patches;
    let num_masked = params.patches - params.len_keep;

    if (k < params.tokens) {
        var source = NONE;
        var row = NONE;
        var wanted = NONE;
        if (LAYOUT == CONCATENATED) {
            if (k < num_masked) {
                let patch_id = ids_shuffle[base + k];
                source = MASK_TOKEN;
                row = params.row_offset + patch_id;
                wanted = patch_id;
            } else {
                source = k - num_masked;
            }
        } else if (k < params.cls) {
            source = select(CLS_TOKEN, 0u, CLS_GIVEN);
            row = 0u;
        } else if (LAYOUT == SHUFFLED) {
            source = leading() + k - params.cls;
            row = params.row_offset + ids_shuffle[base + params.first_visible + k - params.cls];
        } else {
            let patch_id = k - params.cls;
            row = params.row_offset + patch_id;
            source = leading() + patch_id;
            let rank = ids_restore[base + patch_id];
            if (LAYOUT == PATCH_ORDER) {
                source = select(MASK_TOKEN, leading() + rank - params.first_visible, is_visible(rank));
            }
            wanted = select(patch_id, NONE, is_visible(rank));
        }
        token_source[b * params.tokens + k] = source;
        token_row[b * params.tokens + k] = row;
        token_target[b * params.tokens + k] = wanted;
    }

    if (k < params.sources) {
        var token = k + params.cls - leading();
        if (LAYOUT == PATCH_ORDER && k >= leading()) {
            token = params.cls + ids_shuffle[base + params.first_visible + k - leading()];
        } else if (LAYOUT == CONCATENATED) {
            token = num_masked + k;
        }
        source_token[b * params.sources + k] = token;
    }

    if (k < params.rows) {
        var token = NONE;
        if (k < params.row_offset) {
            if (k < params.cls) { token = k; }
        } else if (k - params.row_offset < params.patches) {
            let patch_id = k - params.row_offset;
            let rank = ids_restore[base + patch_id];
            if (LAYOUT == SHUFFLED) {
                if (is_visible(rank)) { token = params.cls + rank - params.first_visible; }
            } else if (LAYOUT == CONCATENATED) {
                if (rank < num_masked) { token = rank; }
            } else {
                token = params.cls + patch_id;
            }
        }
        row_token[b * params.rows + k] = token;
    }
}
