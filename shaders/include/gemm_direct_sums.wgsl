// Sums of a direct GEMM kernel's tile: four rows with each `r`.
#each r < ROWS, c < COLS
    var x{r}_{c} = vec4<f32>();
    var y{r}_{c} = vec4<f32>();
    var z{r}_{c} = vec4<f32>();
    var w{r}_{c} = vec4<f32>();
#end
