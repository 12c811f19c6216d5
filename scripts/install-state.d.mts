export function wantedStamp(root: string): string;
export function needsInstall(root: string): string | undefined;
export function noteInstalled(root: string): void;
