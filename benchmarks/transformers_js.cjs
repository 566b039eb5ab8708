// Embeds by an exported folder: `node transformers_js.cjs REQUEST.json` prints what came of it as JSON.
//
// REQUEST.json holds `folder`, `dtype` ("fp32" or "q8"), and either `images`, a list of files for transformers.js, or
// `pixels`, a file of little-endian float32 of shape `dims`, for onnxruntime alone (`runtime`, "onnxruntime-node" or
// "onnxruntime-web"). Packages are found by NODE_PATH.
const fs = require('fs');
const path = require('path');

const GRAPHS = { fp32: 'onnx/model.onnx', q8: 'onnx/model_quantized.onnx' };

async function throughTransformers({ folder, dtype, images }) {
  const { pipeline, env } = require('@huggingface/transformers');
  env.allowRemoteModels = false;
  env.localModelPath = path.dirname(path.resolve(folder));
  const extract = await pipeline('image-feature-extraction', path.basename(folder), { dtype });
  return (await extract(images)).tolist();
}

async function throughRuntime({ folder, dtype, pixels, dims, runtime }) {
  const { InferenceSession, Tensor } = require(runtime);
  const bytes = fs.readFileSync(pixels);
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const session = await InferenceSession.create(fs.readFileSync(path.join(folder, GRAPHS[dtype])));
  const { embeds } = await session.run({ pixel_values: new Tensor('float32', values, dims) });
  const [rows, width] = embeds.dims;
  return Array.from({ length: rows }, (_, row) => Array.from(embeds.data.slice(row * width, (row + 1) * width)));
}

const request = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
(request.images ? throughTransformers(request) : throughRuntime(request))
  .then((rows) => process.stdout.write(JSON.stringify(rows)))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
