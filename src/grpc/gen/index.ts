// Generated from proto/ by scripts/generate-proto.mjs. Do not edit.
export * from './rocketmq.js'
