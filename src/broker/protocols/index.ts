/**
 * The protocols of an instance's endpoints. A protocol is added to this list, and named nowhere else: endpoints are served
 * through `gateway/protocol.ts`.
 */
import type { Protocol, ProtocolOptions } from '../../gateway/protocol.ts'
import type { BrokerEndpoint } from '../calls/endpoint.ts'
import { grpcProtocol } from './grpc/index.ts'

/** In the order in which they are asked whether a connection's first bytes are theirs. */
export const protocols: ReadonlyArray<(options: ProtocolOptions) => Protocol<BrokerEndpoint>> = [grpcProtocol]
