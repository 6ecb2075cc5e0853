// ROS 2's C client library as functions: what is declared here holds for every distribution since Humble.
import koffi, { type LibraryHandle } from 'koffi';
import { FarsightError, messageOf } from '../../../contract/errors.js';

/** More than any of rcl's structs takes. All of them are valid when zeroed, and are then filled by rcl itself. */
const STRUCT = 4096;

/** An argument that C takes as a pointer or a number. */
export type Argument = bigint | number | string | null | ArrayBufferView;
type Call = (...given: Argument[]) => number;

/**
 * A zeroed struct in memory that neither moves nor goes away while this array is held. rcl keeps pointers between some
 * of them.
 */
export function zeroedStruct(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(STRUCT));
}

export interface RclLibrary {
  init: Call;
  initOptionsInit: Call;
  initOptionsFini: Call;
  shutdown: Call;
  contextFini: Call;
  nodeInit: Call;
  nodeFini: Call;
  publisherInit: Call;
  publisherFini: Call;
  publisherWaitForAllAcked: Call;
  subscriptionInit: Call;
  subscriptionFini: Call;
  serviceInit: Call;
  serviceFini: Call;
  takeRequest: Call;
  sendResponse: Call;
  publishSerialized: Call;
  takeSerialized: Call;
  waitSetInit: Call;
  waitSetFini: Call;
  waitSetClear: Call;
  waitSetAddSubscription: Call;
  waitSetAddService: Call;
  countPublishers: Call;
  wait: Call;
  subscriptionPublisherCount: Call;
  publisherSubscriptionCount: Call;
  publisherEventInit: Call;
  subscriptionEventInit: Call;
  takeEvent: Call;
  eventFini: Call;
  topicNamesAndTypes: Call;
  topicNamesAndTypesFini: Call;
  /** A topic's name after expansion and remapping; undefined when it has none, which `takeError` explains. */
  resolveTopic(node: Uint8Array, name: string): string | undefined;
  byteArrayInit: Call;
  byteArrayFini: Call;
  byteArrayResize: Call;
  resetError: () => void;
  /** Default options, each a struct that the caller then owns. */
  nodeOptions(): Uint8Array;
  publisherOptions(): Uint8Array;
  subscriptionOptions(): Uint8Array;
  serviceOptions(): Uint8Array;
  /** rcutils' default allocator: five pointers. */
  allocator: BigUint64Array;
  subscriptionTopicName(subscription: Uint8Array): string;
  publisherTopicName(publisher: Uint8Array): string;
  /** The type support of a type, `package/msg/Name` or `package/srv/Name`. */
  typeSupport(type: string): bigint;
  /** The last error's text, which is then forgotten. */
  takeError(): string;
}

/** Held for good: a library that is garbage collected is unloaded, under those who have pointers into it. */
const held: LibraryHandle[] = [];
let loaded: RclLibrary | undefined;

/** Loads the library once. Throws a `FarsightError` when no ROS 2 is sourced. */
export function rclLibrary(): RclLibrary {
  loaded ??= load();
  return loaded;
}

function open(name: string): LibraryHandle {
  const library = koffi.load(name);
  held.push(library);
  return library;
}

function load(): RclLibrary {
  let rcl: LibraryHandle;
  let rcutils: LibraryHandle;
  try {
    rcutils = open('librcutils.so');
    rcl = open('librcl.so');
  } catch (error) {
    throw new FarsightError(
      `ROS 2 does not load (${messageOf(error)}): source its setup.bash in this shell before starting (for example: source /opt/ros/jazzy/setup.bash)`,
    );
  }
  // A struct beyond two words comes back through a hidden pointer, so that a declaration too large is safe.
  const large = koffi.struct({ bytes: koffi.array('uint8_t', STRUCT, 'Typed') });
  const options = (name: string) => {
    const get = rcl.func(name, large, []);
    return () => {
      const struct = zeroedStruct();
      struct.set(get().bytes);
      return struct;
    };
  };
  const allocatorStruct = koffi.struct({ words: koffi.array('uint64_t', 5) });
  const allocator = BigUint64Array.from(
    rcutils.func('rcutils_get_default_allocator', allocatorStruct, [])().words as (bigint | number)[],
    BigInt,
  );
  const initOptionsInit = rcl.func('rcl_init_options_init', 'int', ['void *', allocatorStruct]);
  const resolveName = rcl.func('rcl_node_resolve_name', 'int', [
    ...['void *', 'const char *'],
    allocatorStruct,
    ...['uint8_t', 'uint8_t', 'void *'],
  ]);
  const free = koffi.load(null).func('void free(void *)');
  const sizes = new Array(6).fill('size_t');
  const waitSetInit = rcl.func('rcl_wait_set_init', 'int', ['void *', ...sizes, 'void *', allocatorStruct]);
  const errorText = rcutils.func(
    'rcutils_get_error_string',
    koffi.struct({ text: koffi.array('char', 1024) }),
    [],
  );
  const resetError = rcutils.func('void rcutils_reset_error()') as () => void;
  const call = (name: string, ...parameters: string[]) =>
    rcl.func(name, 'int', parameters) as unknown as Call;
  const p = 'void *';
  return {
    init: call('rcl_init', 'int', p, p, p),
    initOptionsInit: (struct) => initOptionsInit(struct, { words: [...allocator] }),
    initOptionsFini: call('rcl_init_options_fini', p),
    shutdown: call('rcl_shutdown', p),
    contextFini: call('rcl_context_fini', p),
    nodeInit: call('rcl_node_init', p, 'const char *', 'const char *', p, p),
    nodeFini: call('rcl_node_fini', p),
    publisherInit: call('rcl_publisher_init', p, p, p, 'const char *', p),
    publisherFini: call('rcl_publisher_fini', p, p),
    publisherWaitForAllAcked: call('rcl_publisher_wait_for_all_acked', p, 'int64_t'),
    subscriptionInit: call('rcl_subscription_init', p, p, p, 'const char *', p),
    subscriptionFini: call('rcl_subscription_fini', p, p),
    serviceInit: call('rcl_service_init', p, p, p, 'const char *', p),
    serviceFini: call('rcl_service_fini', p, p),
    takeRequest: call('rcl_take_request', p, p, p),
    sendResponse: call('rcl_send_response', p, p, p),
    publishSerialized: call('rcl_publish_serialized_message', p, p, p),
    takeSerialized: call('rcl_take_serialized_message', p, p, p, p),
    // For so many subscriptions and services, in a context.
    waitSetInit: (struct, subscriptions, services, context) =>
      waitSetInit(struct, subscriptions, 0, 0, 0, services, 0, context, { words: [...allocator] }),
    waitSetFini: call('rcl_wait_set_fini', p),
    waitSetClear: call('rcl_wait_set_clear', p),
    waitSetAddSubscription: call('rcl_wait_set_add_subscription', p, p, p),
    waitSetAddService: call('rcl_wait_set_add_service', p, p, p),
    countPublishers: call('rcl_count_publishers', p, 'const char *', p),
    wait: call('rcl_wait', p, 'int64_t'),
    subscriptionPublisherCount: call('rcl_subscription_get_publisher_count', p, p),
    publisherSubscriptionCount: call('rcl_publisher_get_subscription_count', p, p),
    publisherEventInit: call('rcl_publisher_event_init', p, p, 'int'),
    subscriptionEventInit: call('rcl_subscription_event_init', p, p, 'int'),
    takeEvent: call('rcl_take_event', p, p),
    eventFini: call('rcl_event_fini', p),
    topicNamesAndTypes: call('rcl_get_topic_names_and_types', p, p, 'uint8_t', p),
    topicNamesAndTypesFini: call('rcl_names_and_types_fini', p),
    resolveTopic(node, name) {
      const resolved = new BigUint64Array(1);
      if (resolveName(node, name, { words: [...allocator] }, 0, 0, resolved) !== 0) return undefined;
      const text = koffi.decode(resolved[0], koffi.types.char, -1) as string;
      free(resolved[0]);
      return text;
    },
    byteArrayInit: rcutils.func('rcutils_uint8_array_init', 'int', [p, 'size_t', p]) as unknown as Call,
    byteArrayResize: rcutils.func('rcutils_uint8_array_resize', 'int', [p, 'size_t']) as unknown as Call,
    byteArrayFini: rcutils.func('rcutils_uint8_array_fini', 'int', [p]) as unknown as Call,
    resetError,
    nodeOptions: options('rcl_node_get_default_options'),
    publisherOptions: options('rcl_publisher_get_default_options'),
    subscriptionOptions: options('rcl_subscription_get_default_options'),
    serviceOptions: options('rcl_service_get_default_options'),
    allocator,
    subscriptionTopicName: rcl.func('const char *rcl_subscription_get_topic_name(void *)'),
    publisherTopicName: rcl.func('const char *rcl_publisher_get_topic_name(void *)'),
    typeSupport,
    takeError() {
      const text = errorText().text as string;
      resetError();
      // Without the places in ROS's own sources.
      return text.replace(/, at \S+:\d+/g, '');
    },
  };
}

function typeSupport(type: string): bigint {
  const [pack, folder, name] = type.split('/');
  try {
    const library = open(`lib${pack}__rosidl_typesupport_c.so`);
    const kind = folder === 'srv' ? 'service' : 'message';
    const symbol = `rosidl_typesupport_c__get_${kind}_type_support_handle__${pack}__${folder}__${name}`;
    return library.func(symbol, 'void *', [])() as bigint;
  } catch (error) {
    throw new FarsightError(
      `the ROS 2 type ${type} is not installed (${messageOf(error)}); install the package ${pack}`,
    );
  }
}
