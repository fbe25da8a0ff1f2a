/* The declarations of heads_net.h, for one precision. */

struct FN(head_net);

/* Room for batches of up to rows rows. Parameters are zero until init or loading. */
int FN(head_net_new)(const struct head_shape *shape, int rows, struct FN(head_net) **out,
                     struct err *err);
void FN(head_net_free)(struct FN(head_net) *net); /* NULL-safe */

/* Weights and biases uniform in +-1/sqrt(inputs), as PyTorch's Linear; W2 normal with
 * deviation 0.32 / sqrt(hidden), so that the head begins as nearly a linear one. */
void FN(head_net_init)(struct FN(head_net) *net, struct random *r);

/* Fills list (HEAD_PARAMS) and returns how many there are: "w", "b", "w1", "b1", "w2",
 * "b2", "gain", "shift". They stay where they are until free. */
int FN(head_net_params)(struct FN(head_net) *net, struct FN(param) *list);
/* (in) each; fixed, not learned; 0 and 1 at first: to be filled by standardise_fit or
 * from a checkpoint. */
void FN(head_net_standard)(struct FN(head_net) *net, real **mean, real **scale);

/* x: (n, in), y: (n, dim). training NULL: no dropout, nothing to go back from is
 * promised. x must stay until the backward pass, which adds to the gradients. */
void FN(head_net_forward)(struct FN(head_net) *net, struct compute *c, const real *x, int n,
                          struct random *training, real *y);
void FN(head_net_backward)(struct FN(head_net) *net, struct compute *c, const real *dy);
