-- Makes a note. Arguments: id of the folder ("" makes one of the next name, or takes the default one without a name), name of the folder,
-- the note as HTML.
on run argv
	set theFolderId to item 1 of argv
	set theFolderName to item 2 of argv
	set theBody to item 3 of argv
	tell application "Notes"
		if theFolderId is not "" then
			set theFolder to folder id theFolderId
		else if theFolderName is not "" then
			set theFolder to make new folder with properties {name:theFolderName}
		else
			set theFolder to default folder of default account
		end if
		make new note at theFolder with properties {body:theBody}
	end tell
	return "done"
end run
