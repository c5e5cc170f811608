//! Attention by cooperative matrices.

use webmae::kernels::{AttentionForm, AttentionShape, Precision, Products};

use crate::attention::{is_software, run};
use crate::bench::{Failures, Setup, cooperative_kinds, halves, normal, wide};
use crate::common::skip;
use crate::dropout::Site;
use crate::oracle;

/// Batch, tokens, heads, values per head: heads of one fragment, of several and of half of one too many, sequences
/// shorter and longer than every tile.
const SIZES: [[usize; 4]; 8] = [
    [1, 3, 1, 8],
    [2, 1, 2, 16],
    [1, 7, 3, 8],
    [2, 33, 1, 16],
    [1, 50, 2, 32],
    [1, 65, 2, 24],
    [2, 130, 1, 16],
    [1, 197, 1, 64],
];

/// What the output and the gradient may be wrong by: weights and the scores' gradients are rounded, too.
const TOLERANCES: [f64; 2] = [1e-3, 2e-3];

/// Whether a driver compiles these kernels in seconds. llvmpipe takes minutes for many fragments, and a multiple where
/// there are run-time checks or pointers to scalars.
fn compiles_soon(setup: &Setup, dim: usize, dropped: bool) -> bool {
    let is_slowed = setup.checked || setup.scalar_pointers;
    let most = match (is_slowed, dropped) {
        (false, false) => 64,
        (false, true) => 32,
        (true, false) => 8,
        (true, true) => 0,
    };
    !is_software(setup) || dim <= most
}

#[test]
fn attentions_of_fragments() {
    let mut failures = Failures::default();
    let mut any = false;
    for kind in cooperative_kinds() {
        for sizes @ [batch, tokens, heads, dim] in SIZES {
            let shape = AttentionShape::new(Precision::F16, tokens, dim);
            let products = Products::default().with_attention(AttentionForm::Cooperative);
            let setup = Setup { products, ..kind.clone() };
            if setup.target().attention(&shape) != AttentionForm::Cooperative {
                continue;
            }
            any = true;
            let values = sizes.iter().product::<usize>();
            let (qkv, dy) = (halves(&normal(1, 3 * values)), halves(&normal(2, values)));
            let site = Site::new(batch, 0.3);
            let row = tokens.next_multiple_of(4);
            let factor = |[sample, head, query, key]: [usize; 4]| {
                f64::from(site.factor(sample, (head * tokens + query) * row + key))
            };
            for dropped in [false, true] {
                if !compiles_soon(&setup, dim, dropped) {
                    continue;
                }
                let factor = |at| if dropped { factor(at) } else { 1.0 };
                let (expected, d_expected) =
                    oracle::dropped_attention(&wide(&qkv), sizes, Some(&wide(&dy)), factor);
                let site = dropped.then_some(&site);
                let [y, d_qkv] = run(&setup, Precision::F16, sizes, &qkv, &dy, site);
                let what = |name: &str| {
                    format!("{} {sizes:?} ({heads} heads) dropped {dropped} {name}", setup.name)
                };
                failures.compare(&what("y"), &y, &expected, TOLERANCES[0]);
                failures.compare(&what("d qkv"), &d_qkv, &d_expected, TOLERANCES[1]);
            }
        }
    }
    if !any {
        return skip("COOPERATIVE", "no cooperative matrices of F16");
    }
    failures.report();
}
