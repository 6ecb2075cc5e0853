// The part of the ONNX file format that Farsight reads and writes (onnx.proto3, IR version 8), through protobufjs.
import protobuf from 'protobufjs';

export enum ElementType {
  float32 = 1,
  int64 = 7,
  bool = 9,
}
export enum AttributeType {
  float = 1,
  int = 2,
  string = 3,
  ints = 7,
}
export interface Attribute {
  name: string;
  type: AttributeType;
  f?: number;
  i?: number;
  s?: Uint8Array;
  ints?: number[];
}
export interface OnnxNode {
  input: string[];
  output: string[];
  name?: string;
  opType: string;
  domain?: string;
  attribute?: Attribute[];
}
export interface OnnxTensor {
  name: string;
  dims: number[];
  dataType: ElementType;
  rawData: Uint8Array;
}
export interface ValueInfo {
  name: string;
  type: { tensorType: { elemType: ElementType; shape: { dim: { dimValue: number }[] } } };
}
export interface OnnxGraph {
  name: string;
  node: OnnxNode[];
  initializer: OnnxTensor[];
  input: ValueInfo[];
  output: ValueInfo[];
}
export interface OnnxModel {
  irVersion: number;
  producerName?: string;
  producerVersion?: string;
  graph: OnnxGraph;
  opsetImport: { domain: string; version: number }[];
  metadataProps: { key: string; value: string }[];
}

const { root } = protobuf.parse(
  `syntax = "proto3";
   message Attribute { string name = 1; float f = 2; int64 i = 3; bytes s = 4; repeated int64 ints = 8; int32 type = 20; }
   message Node { repeated string input = 1; repeated string output = 2; string name = 3; string opType = 4;
     repeated Attribute attribute = 5; string domain = 7; }
   message Tensor { repeated int64 dims = 1; int32 dataType = 2; string name = 8; bytes rawData = 9; }
   message Dimension { int64 dimValue = 1; }
   message Shape { repeated Dimension dim = 1; }
   message TensorType { int32 elemType = 1; Shape shape = 2; }
   message Type { TensorType tensorType = 1; }
   message ValueInfo { string name = 1; Type type = 2; }
   message Graph { repeated Node node = 1; string name = 2; repeated Tensor initializer = 5;
     repeated ValueInfo input = 11; repeated ValueInfo output = 12; }
   message OperatorSet { string domain = 1; int64 version = 2; }
   message Entry { string key = 1; string value = 2; }
   message Model { int64 irVersion = 1; string producerName = 2; string producerVersion = 3; Graph graph = 7;
     repeated OperatorSet opsetImport = 8; repeated Entry metadataProps = 14; }`,
);
const modelType = root.lookupType('Model');

export const OPSET = [{ domain: '', version: 21 }];
export const IR_VERSION = 10;

export function tensorInfo(
  name: string,
  shape: readonly number[],
  elemType = ElementType.float32,
): ValueInfo {
  return {
    name,
    type: { tensorType: { elemType, shape: { dim: shape.map((dimValue) => ({ dimValue })) } } },
  };
}

/** A float32 initializer `name` of `dims`; the bytes are a view on `values`, not a copy. */
export function floatTensor(name: string, dims: readonly number[], values: Float32Array): OnnxTensor {
  return {
    name,
    dims: [...dims],
    dataType: ElementType.float32,
    rawData: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  };
}

export function encodeModel(model: OnnxModel): Uint8Array {
  return modelType.encode(modelType.fromObject(model)).finish();
}

/** Throws when the bytes are not a whole ONNX model. */
export function decodeModel(bytes: Uint8Array): OnnxModel {
  const message = modelType.decode(bytes);
  const model = modelType.toObject(message, { longs: Number, arrays: true, objects: true }) as OnnxModel;
  if (!model.graph) throw new Error('no graph inside');
  return model;
}
