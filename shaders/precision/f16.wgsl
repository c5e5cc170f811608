// Element types of a kernel in mixed precision: memory holds f16, registers f32.

enable f16;
alias act = f16;      // a weight or activation
alias act4 = vec4<f16>;
alias act_texture = texture_storage_2d<rgba16float, read>;
alias output = f16;   // a product of matrices that is an activation
alias output4 = vec4<f16>;
