// Element types of a kernel in f32, in front of its text.

alias act = f32;      // a weight or activation
alias act4 = vec4<f32>;
alias act_texture = texture_storage_2d<rgba32float, read>;
alias output = f32;   // a product of matrices
alias output4 = vec4<f32>;
