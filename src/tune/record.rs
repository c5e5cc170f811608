//! The product that is measured and checked.

use crate::kernels::{KernelTarget, Precision, ProductClass};
use crate::ops::product;
use crate::program::Recorder;

/// A product `out [M,N]` of `a` and `b` alone, its final sum included where workgroups share the sum over K.
pub(super) fn record_product(
    target: KernelTarget,
    class: ProductClass,
    sizes @ [m, n, k]: [usize; 3],
    output: Precision,
) -> Recorder {
    let mut rec = Recorder::new(target, false);
    let operands =
        [("a", class.operands, m * k), ("b", class.operands, n * k), ("out", output, m * n)]
            .map(|(label, precision, count)| rec.external_of(precision, label, [count]));
    product(&mut rec, class.layout, sizes, operands);
    rec
}
