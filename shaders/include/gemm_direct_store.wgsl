// The end of a direct GEMM kernel: stores its sums.
#each c < COLS
    var column{c} = array<vec4<f32>, 4 * {ROWS}>(
#each r < ROWS
        x{r}_{c}, y{r}_{c}, z{r}_{c}, w{r}_{c},
#end
    );
    let bias{c} = load_bias(col + {c}u);
#end
    for (var r = 0u; r < 4u * {ROWS}u; r++) {
#each c < COLS
        store(row + r, col + {c}u, column{c}[r], bias{c});
#end
    }
