// TensorFlow.js as the whole trainer imports it: quiet, with every gradient registered, on a backend that works here.
import '@tensorflow/tfjs-backend-cpu';
import tf from '@tensorflow/tfjs-core';
// The core's build for Node registers no gradients; the layers' does, and is here for nothing else.
import '@tensorflow/tfjs-layers';

tf.enableProdMode();

export { tf };
export type Tensor = tf.Tensor;
/** Tensors by name: parameters, inputs or outputs of a program. */
export type Tensors = Record<string, Tensor>;
