/** FNV-1a (https://www.rfc-editor.org/rfc/rfc9923): a name in eight characters that fit a ticket. Nothing hangs on who finds another one. */
function markOf(name: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** A node keeps a place for who comes again with its ticket: with the node's mark, he comes to that node again. */
export function sealTicket(node: string, ticket: string): string {
  return `${markOf(node)}.${ticket}`;
}

/** The ticket as the node gave it; nothing where another one gave it. */
export function openTicket(node: string, ticket: string | undefined): string | undefined {
  const mark = `${markOf(node)}.`;
  return ticket?.startsWith(mark) === true ? ticket.slice(mark.length) : undefined;
}
