export { Vault } from './client.js';
export type { Answer, ApiPaths, Data, Item, Page, PagedPath, VaultOptions } from './client.js';
export { ApiError, NoAnswerError, NotificationError, VaultError } from './errors.js';
export { VERSION } from './generated/operations.js';
export type { ErrorCode } from './generated/operations.js';
export type { components, operations, paths } from './generated/schema.js';
export { verifyNotification } from './notifications.js';
export type { Notification, VerifyOptions } from './notifications.js';
