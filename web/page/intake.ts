import { byId } from './dom.ts';

/** Takes files that are dropped or pasted anywhere on the page, folders with all that is in them, and addresses that are
 * pasted. */
export function takeFiles(
  taken: (files: File[]) => void,
  addressTaken: (address: string) => void,
): void {
  const veil = byId('drop-veil');
  let depth = 0;
  const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;

  addEventListener('dragenter', (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    veil.hidden = false;
  });
  addEventListener('dragleave', (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    veil.hidden = depth > 0;
  });
  addEventListener('dragover', (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  addEventListener('drop', (event) => {
    if (!event.dataTransfer || !carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    void droppedFiles(event.dataTransfer).then((files) => files.length > 0 && taken(files));
  });
  addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    const typing = event.target instanceof HTMLInputElement;
    const text = event.clipboardData?.getData('text/plain').trim() ?? '';
    if (files.length > 0) taken(files);
    else if (!typing && /^https?:\/\/\S+$/.test(text)) addressTaken(text);
    else return;
    event.preventDefault();
  });
}

/** The entries must be asked for while the event lasts; their contents come later. */
async function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry());
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return plain;
  const nested = await Promise.all(entries.map((entry) => (entry ? filesIn(entry) : [])));
  return nested.flat();
}

async function filesIn(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    return [file];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (batch.length === 0) return found;
    for (const inner of batch) found.push(...(await filesIn(inner)));
  }
}
