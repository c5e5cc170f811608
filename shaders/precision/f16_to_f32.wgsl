// Element types of a kernel in mixed precision whose product is the gradient of a parameter.

enable f16;
alias act = f16;      // a weight or activation
alias act4 = vec4<f16>;
alias act_texture = texture_storage_2d<rgba16float, read>;
alias output = f32;   // a product of matrices
alias output4 = vec4<f32>;
