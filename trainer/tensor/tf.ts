// TensorFlow.js as the whole trainer imports it: quiet, with every gradient registered, on a backend that works here.
import tf from '@tensorflow/tfjs';

tf.enableProdMode();

export { tf };
export type Tensor = tf.Tensor;
/** Tensors by name: parameters, inputs or outputs of a program. */
export type Tensors = Record<string, Tensor>;
